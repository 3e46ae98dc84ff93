// Sends the messages it is given, by a client of the WSDL that the listener serves.

import { createClientAsync } from 'soap'

import { input, say } from './script.js'

const client = await createClientAsync(`${input.url}?wsdl`, { disableCache: true })

const answers = []
for (const message of input.messages) {
  try {
    const [answer] = await client.notificationsAsync(message)
    answers.push({ ack: answer.Ack })
  } catch (e) {
    const fault = e.root?.Envelope?.Body?.Fault
    if (!fault) throw e
    answers.push({ code: fault.faultcode, text: fault.faultstring })
  }
}
say(answers)
