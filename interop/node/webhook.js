// A receiver of Standard Webhooks, which can also send one.

import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

import { input, say, theEnd } from './script.js'

const webhook = new Webhook(input.secret)
const heard = []
const server = createServer(async (request, response) => {
  const body = await text(request)
  const { 'webhook-id': id, 'content-type': type } = request.headers
  try {
    heard.push({ id, type, payload: webhook.verify(body, request.headers) })
    response.writeHead(204).end()
  } catch (e) {
    heard.push({ id, type, refused: e.message })
    response.writeHead(400).end()
  }
})
server.listen(0, '127.0.0.1', () => say({ url: `http://127.0.0.1:${server.address().port}` }))

const sent = []
for (const { id, body, forged } of input.send) {
  const at = new Date()
  const signature = webhook.sign(id, at, body)
  const { status } = await fetch(input.to, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at / 1000)),
      'webhook-signature': signature,
    },
    body: forged ?? body,
  })
  sent.push(status)
}
say({ sent })

await theEnd()
server.close()
say({ heard })
