// Does with an org what integrations do, by jsforce, and tells what it was answered.

import jsforce from '@jsforce/jsforce-node'

import { input, say } from './script.js'

const login = async (clientSecret) => {
  const c = new jsforce.Connection({ version: '64.0', oauth2: { loginUrl: input.url, clientId: input.id, clientSecret } })
  await c.authorize({ grant_type: 'client_credentials' })
  return c
}
// The error's code, or that there was none.
const refusal = (promise) => promise.then(() => 'none', (e) => e.errorCode ?? e.name)

const badLogin = await refusal(login('wrong'))
const org = await login(input.secret)
const { organization_id: organization } = await org.identity()

const created = await org.sobject('Product2').create({ Name: 'Lamp & <shade>', SKU__c: 'L-1', Stock__c: 7 })
const found = await org.sobject('Product2').retrieve(created.id)
const double = await refusal(org.sobject('Product2').create({ Name: 'Lamp', SKU__c: 'L-1' }))

// The same upsert twice: made, then found.
const upserts = []
for (const Stock__c of [1, 2]) upserts.push(await org.sobject('Product2').upsert({ SKU__c: 'L-2', Name: 'Shelf', Stock__c }, 'SKU__c'))

// Bulk API 2.0: every row is told of, good or bad.
const bulk = await org.bulk2.loadAndWaitForResults({
  object: 'Product2',
  operation: 'upsert',
  externalIdFieldName: 'SKU__c',
  input: [
    ...Array.from({ length: input.rows }, (_, i) => ({ SKU__c: `B-${i}`, Name: `name "${i}", in quotes`, Stock__c: i })),
    { SKU__c: 'B-bad', Name: 'x', Stock__c: 'many' },
  ],
  pollInterval: 50,
  pollTimeout: 30000,
})

// Collections: what is wrong with one record is told of that one.
const collection = await org.sobject('Product2').create([{ Name: 'a', SKU__c: 'C-1' }, { SKU__c: 'C-2' }])
const { fields } = await org.describe('Product2')

// Queries in pages, by REST: each row once.
let pages = 0
const skus = []
let page = await org.query("SELECT SKU__c, Name FROM Product2 WHERE SKU__c LIKE 'B-%'", { headers: { 'Sforce-Query-Options': 'batchSize=200' } })
for (;;) {
  pages++
  skus.push(...page.records.map((r) => r.SKU__c))
  if (page.done) break
  page = await org.queryMore(page.nextRecordsUrl)
}
const wrongQuery = await refusal(org.query('SELECT Nothing__c FROM Product2'))

const published = await org.sobject('Stock_Changed__e').create({ SKU__c: 'L-1', Left__c: 6 })

await org.sobject('Product2').update({ Id: created.id, Stock__c: 6 })
const [updated] = (await org.query(`SELECT Stock__c FROM Product2 WHERE Id = '${created.id}'`)).records
const deleted = await org.sobject('Product2').delete(created.id)
const gone = await refusal(org.sobject('Product2').retrieve(created.id))
const { DailyApiRequests } = await org.limits()

say({
  badLogin, organization, created, found, double, upserts, wrongQuery, published, gone, updated, deleted,
  bulk: { done: bulk.successfulResults.length, made: bulk.successfulResults.filter((r) => r.sf__Created === 'true').length, failed: bulk.failedResults, unprocessed: bulk.unprocessedRecords.length },
  collection, external: fields.filter((f) => f.externalId).map((f) => f.name),
  pages, skus, total: page.totalSize, max: DailyApiRequests.Max,
})
