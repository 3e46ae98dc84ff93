// Reads the events it is given, and writes one of its own for each.

import { CloudEvent, HTTP, ValidationError } from 'cloudevents'

import { input, say } from './script.js'

const read = input.events.map((body) => {
  try {
    const event = HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body })
    event.validate()
    const { id, source, type, subject, time, datacontenttype, dataschema, partitionkey, ...rest } = event.toJSON()
    return {
      id, source, type, subject, time, datacontenttype, dataschema, partitionkey,
      data: rest.data_base64 ? undefined : event.data,
      base64: rest.data_base64,
      trace: rest.traceparent,
    }
  } catch (e) {
    return { refused: e instanceof ValidationError ? e.message : String(e) }
  }
})

const written = [
  { id: 'a-1', source: '/stock', type: 'stock.changed', subject: '84879', time: '2026-05-01T10:00:00.123Z', partitionkey: '84879', data: { free: 7, note: 'ä' } },
  { id: 'a-2', source: '/stock', type: 'stock.picture', datacontenttype: 'image/png', data: new Uint8Array([1, 2, 255]) },
  { id: 'a-3', source: 'urn:stock', type: 'stock.note', datacontenttype: 'text/plain', data: 'seven' },
  { id: 'a-4', source: '/stock', type: 'stock.counted', comexampleattempt: 3, comexamplefinal: true },
].map((event) => HTTP.structured(new CloudEvent(event)).body)

say({ read, written })
