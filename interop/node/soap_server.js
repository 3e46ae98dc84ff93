// Serves the WSDL it is given, and tells at the end what it was asked.

import { createServer } from 'node:http'
import { listen } from 'soap'

import { input, say, theEnd } from './script.js'

const heard = []
const reserve = ({ sku, qty, line = [] }, _callback, headers) => {
  heard.push({ session: headers?.session?.id, sku, qty, lines: [line].flat() })
  if (qty > input.free) {
    throw {
      Fault: {
        faultcode: 'soap:Client',
        faultstring: `only ${input.free} <left>`,
        detail: { 'w:outOfStock': { attributes: { 'xmlns:w': 'urn:warehouse' }, 'w:left': input.free } },
      },
    }
  }
  return { left: input.free - qty, note: `${sku} & co` }
}

const server = createServer((request, response) => response.writeHead(404).end())
server.listen(0, '127.0.0.1', () => {
  listen(server, '/stock', { Stock: { Stock: { reserve } } }, input.wsdl)
  say({ url: `http://127.0.0.1:${server.address().port}/stock` })
})

await theEnd()
server.close()
server.closeAllConnections()
say(heard)
