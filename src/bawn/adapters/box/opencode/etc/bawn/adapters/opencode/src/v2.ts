// The second plugin interface: functions that are registered one by one. The types are the part of it that is used here:
// the published package (1.18.33) has a `v2` without hooks of tools and sessions, so OpenCode's sources were followed.

import { ask, begin, headers, tell } from "./gateway.ts"

type Hooked<Spec> = <Name extends keyof Spec>(
  name: Name,
  callback: (event: Spec[Name]) => Promise<void> | void,
) => Promise<unknown>

type Called = { readonly tool: string; readonly sessionID: string; readonly id: string; readonly input: unknown }

export type Context = {
  readonly session: {
    readonly hook: Hooked<{
      prompt: { readonly sessionID: string; readonly prompt: { readonly text: string } }
      "model.request": { readonly sessionID: string; readonly headers: Record<string, string> }
    }>
  }
  readonly tool: {
    readonly hook: Hooked<{
      "execute.before": Called
      "execute.after": Called &
        (
          | { readonly status: "completed"; readonly result: unknown }
          | { readonly status: "error"; readonly error: unknown }
        )
    }>
  }
  readonly event: {
    readonly subscribe: (options?: { readonly signal?: AbortSignal }) => AsyncIterable<Happened>
  }
}

type Happened = { readonly type: string; readonly data?: unknown; readonly properties?: unknown }

/** Returns what ends it, which OpenCode calls when the plugin is unloaded. */
export async function setup(context: Context): Promise<() => void> {
  await context.session.hook("prompt", ({ sessionID, prompt }) =>
    ask({ event: "chat.message", session: sessionID, text: prompt.text }),
  )
  await context.session.hook("model.request", (event) => {
    Object.assign(event.headers, headers(event.sessionID))
  })
  await context.tool.hook("execute.before", ({ tool, sessionID, id, input }) =>
    ask({ event: "tool.execute.before", session: sessionID, call: id, tool, input: input ?? {} }),
  )
  await context.tool.hook("execute.after", (event) => {
    const { tool, sessionID, id, input } = event
    const output = event.status === "completed" ? event.result : event.error
    return tell({ event: "tool.execute.after", session: sessionID, call: id, tool, input: input ?? {}, output })
  })
  const ended = new AbortController()
  void listen(context, ended.signal)
  return () => ended.abort()
}

async function listen(context: Context, signal: AbortSignal): Promise<void> {
  try {
    for await (const event of context.event.subscribe({ signal })) {
      if (signal.aborted) return
      void happened(event)
    }
  } catch {
    // The stream of events ended; what is asked goes on being asked.
  }
}

async function happened({ type, data, properties }: Happened): Promise<void> {
  const told = fields(data ?? properties)
  const info = fields(told["info"])
  const session = text(told["sessionID"]) ?? text(info["id"])
  if (session === undefined) return
  switch (type) {
    case "session.created": {
      const known = { ...told, ...info }
      const parent = text(known["parentID"])
      const directory = text(known["directory"]) ?? text(fields(known["location"])["directory"])
      return begin({ event: type, session, parent, title: text(known["title"]), directory })
    }
    case "session.idle":
      return tell({ event: type, session })
    case "session.error":
      return tell({ event: type, session, error: JSON.stringify(told["error"] ?? "") })
  }
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined
}
