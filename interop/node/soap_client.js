// Makes the calls it is given, by a client of the WSDL it is given, which says where to call.

import { createClientAsync } from 'soap'

import { input, say } from './script.js'

const client = await createClientAsync(input.wsdl, { disableCache: true })
client.addSoapHeader({ session: { id: 's&1' } }, '', 'w', 'urn:warehouse')

const answers = []
for (const call of input.calls) {
  try {
    const [answer] = await client.reserveAsync(call)
    answers.push({ left: answer.left, note: answer.note })
  } catch (e) {
    const fault = e.root?.Envelope?.Body?.Fault
    if (!fault) throw e
    answers.push({ code: fault.faultcode, text: fault.faultstring, left: fault.detail?.outOfStock?.left })
  }
}
say(answers)
