// The first plugin interface: an object of functions. What is thrown in `tool.execute.before` and `chat.message` keeps the
// call or the message from going on; `event` is only told.

import type { Hooks, Plugin } from "@opencode-ai/plugin"
import { ask, begin, headers, tell } from "./gateway.ts"

export const server: Plugin = async () => hooks

export const hooks: Hooks = {
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
    await ask({ event: "chat.message", session: sessionID, text: texts.join("\n") })
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
}

function said(error: { name: string; data: Record<string, unknown> } | undefined): string {
  if (error === undefined) return ""
  const message = error.data?.["message"]
  return typeof message === "string" ? `${error.name}: ${message}` : error.name
}
