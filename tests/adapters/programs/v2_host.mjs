// In OpenCode's place, for the second plugin interface: registers what a plugin gives, and calls it as it would.
// argv: the plugin's module. stdin: steps, one JSON array each line: [what, ...]. stdout: what came of each.

import { createInterface } from "node:readline"

const { default: plugin } = await import(process.argv[2])
const registered = new Map()
const hook = (kind) => async (name, callback) => {
  registered.set(`${kind}.${name}`, callback)
  return { dispose: async () => {} }
}
let happened = []
let wake = () => {}
async function* events({ signal }) {
  while (!signal.aborted) {
    yield* happened.splice(0)
    await new Promise((resolve) => (wake = resolve))
  }
}
const end = await plugin.setup({
  session: { hook: hook("session") },
  tool: { hook: hook("tool") },
  event: { subscribe: events },
})
for await (const line of createInterface({ input: process.stdin })) {
  const [what, value] = JSON.parse(line)
  if (what === "event") {
    happened.push(value)
    wake()
    await new Promise((resolve) => setTimeout(resolve, 200))
    console.log(JSON.stringify({ ok: null }))
    continue
  }
  try {
    await registered.get(what)(value)
    console.log(JSON.stringify({ ok: value }))
  } catch (error) {
    console.log(JSON.stringify({ refused: error.message, name: error.name }))
  }
}
end()
process.exit(0)
