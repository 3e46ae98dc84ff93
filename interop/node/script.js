// What each script shares with the Go test that runs it: one JSON value from it, JSON values to it.

export const input = JSON.parse(process.env.INTEROP_INPUT)

export const say = (value) => process.stdout.write(JSON.stringify(value) + '\n')

// The test ends a server by closing its standard input.
export const theEnd = () =>
  new Promise((resolve) => {
    process.stdin.on('end', resolve)
    process.stdin.resume()
  })
