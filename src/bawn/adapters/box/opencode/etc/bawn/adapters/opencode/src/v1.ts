// The first plugin interface: an object of functions. What is thrown in `tool.execute.before` and `chat.message` keeps the
// call or the message from going on; `event` is only told.

import type { Hooks, Plugin, PluginInput } from "@opencode-ai/plugin"
import { ask, begin, headers, Refused, tell } from "./gateway.ts"

type Client = PluginInput["client"]

export const server: Plugin = async ({ client }) => hooks(client)

export const hooks = (client: Client): Hooks => ({
  event: async ({ event }) => {
    switch (event.type) {
      case "session.created": {
        const { id, parentID, title, directory } = event.properties.info
        return begin({ event: event.type, session: id, parent: parentID, title, directory })
      }
      case "session.idle":
        return tell({ event: event.type, session: event.properties.sessionID })
      case "session.error": {
        const { sessionID, error } = event.properties
        if (sessionID !== undefined) return tell({ event: event.type, session: sessionID, error: said(error) })
      }
    }
  },

  "chat.message": async ({ sessionID }, { parts }) => {
    const texts = parts.flatMap((part) => (part.type === "text" && part.synthetic !== true ? [part.text] : []))
    try {
      await ask({ event: "chat.message", session: sessionID, text: texts.join("\n") })
    } catch (error) {
      if (error instanceof Refused) show(client, error.message)
      throw error
    }
  },

  "chat.headers": async ({ sessionID }, output) => {
    Object.assign(output.headers, headers(sessionID))
  },

  "tool.execute.before": async ({ tool, sessionID, callID }, { args }) => {
    await ask({ event: "tool.execute.before", session: sessionID, call: callID, tool, input: args ?? {} })
  },

  "tool.execute.after": async ({ tool, sessionID, callID, args }, result) => {
    const output = result.output ?? null // What MCP tools give back has another form.
    await tell({ event: "tool.execute.after", session: sessionID, call: callID, tool, input: args ?? {}, output })
  },
})

/** OpenCode calls a message that was refused an unexpected error, and says no more. */
function show(client: Client, message: string): void {
  if (!process.stderr.isTTY || process.argv.includes("run")) console.error(message)
  else void client.tui.showToast({ body: { message, variant: "error" } }).catch(() => {})
}

function said(error: { name: string; data: Record<string, unknown> } | undefined): string {
  if (error === undefined) return ""
  const message = error.data?.["message"]
  return typeof message === "string" ? `${error.name}: ${message}` : error.name
}
