// Listens by the WSDL it is given, answers with Acks of false and then of true, and
// tells at the end what it was sent.

import { createServer } from 'node:http'
import { listen } from 'soap'

import { input, say, theEnd } from './script.js'

const heard = []
const notifications = (message) => {
  heard.push({
    organization: message.OrganizationId,
    action: message.ActionId,
    records: [message.Notification].flat().map(({ Id, sObject }) => ({
      id: Id,
      type: sObject.attributes?.['xsi:type'] ?? sObject.attributes?.['type'],
      record: sObject.Id,
      name: sObject.Name,
      employees: sObject.NumberOfEmployees,
    })),
  })
  return { Ack: heard.length > input.nacks }
}

const server = createServer((request, response) => response.writeHead(404).end())
server.listen(0, '127.0.0.1', () => {
  listen(server, '/accounts', { NotificationService: { Notification: { notifications } } }, input.wsdl)
  say({ url: `http://127.0.0.1:${server.address().port}/accounts` })
})

await theEnd()
server.close()
server.closeAllConnections()
say(heard)
