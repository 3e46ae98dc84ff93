// Judges OpenAPI documents in two ways, makes a client of each, and calls operations with it, whose answers are held
// against the schemas of the document.

import { createConfig, lintFromString } from '@redocly/openapi-core'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { OpenAPIClientAxios } from 'openapi-client-axios'

import { input, say } from './script.js'

// The schema that the makers of OpenAPI publish.
const againstSchema = async (document) => {
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  return valid ? [] : [errors].flat().map((e) => (typeof e === 'string' ? e : `${e.instancePath}: ${e.message}`))
}

// What that schema cannot say: references that lead nowhere, parameters that no path has, ids that come twice. The rules
// that are off ask for a license, security and summaries, which is style.
const off = ['info-license', 'security-defined', 'operation-summary', 'operation-4xx-response', 'no-server-example.com']
const config = await createConfig({ extends: ['recommended'], rules: Object.fromEntries(off.map((rule) => [rule, 'off'])) })
const againstRules = async (source) =>
  (await lintFromString({ source, absoluteRef: 'openapi.json', config })).map(
    (p) => `${p.location[0]?.pointer ?? ''}: ${p.ruleId}: ${p.message}`,
  )

const pointer = (...path) => '#/' + path.map((p) => encodeURIComponent(p.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')

// Why an answer is not what the document says of it.
const misfits = (ajv, { path, method, responses }, { status, type, data }) => {
  const described = responses[status] ? String(status) : 'default'
  const content = responses[described]?.content
  if (!responses[described] || (type ? !content?.[type] : content)) return [`the document has no answer ${status} of type "${type}"`]
  if (!type) return []
  const check = ajv.compile({ $ref: 'document' + pointer('paths', path, method, 'responses', described, 'content', type, 'schema') })
  return check(data) ? [] : check.errors.map((e) => `${e.instancePath}: ${e.message}`)
}

const call = async (url, definition, calls) => {
  const ajv = new Ajv({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(definition, 'document')
  const api = new OpenAPIClientAxios({ definition, withServer: { url } })
  const client = await api.init()
  const answers = []
  for (const { operation, parameters, body, headers } of calls) {
    const response = await client[operation](parameters, body, { headers, validateStatus: () => true })
    const answer = { status: response.status, type: response.headers['content-type']?.split(';')[0] ?? '', data: response.data }
    answers.push({ ...answer, misfits: misfits(ajv, api.getOperation(operation), answer) })
  }
  return answers
}

const judged = []
for (const { url, calls } of input) {
  const source = await (await fetch(url + '/openapi.json')).text()
  const document = JSON.parse(source)
  judged.push({
    schema: await againstSchema(document),
    rules: await againstRules(source),
    answers: calls ? await call(url, document, calls) : [],
  })
}
say(judged)
