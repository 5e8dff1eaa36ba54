// The way to the gateway: what happened goes there as JSON, and the answer is obeyed.
// Whatever is not an answer (nobody there, too late, another status, other words) counts as no where something can
// still be kept from happening, and as nothing where it has happened.

const ADDRESS = "http://ai.bawn.internal/hooks/opencode"
const TAG_LIMIT = 32
const ANSWER_LIMIT = 65_536

export const WAITING = {
  /** A person may be asked. */
  asked: 900_000,
  told: 10_000,
}

export type Event =
  | "session.created"
  | "session.idle"
  | "session.error"
  | "chat.message"
  | "tool.execute.before"
  | "tool.execute.after"

export type Report = {
  event: Event
  session: string
  parent?: string | undefined
  call?: string
  tool?: string
  input?: unknown
  output?: unknown
  text?: string
  title?: string | undefined
  directory?: string | undefined
  error?: string
}

/** Thrown into OpenCode, which shows it to the model and to the person at the terminal. */
export class Refused extends Error {
  override name = "Refused"
}

class NoAnswer extends Error {}

/** The tags that the environment names; they only add to what operators say. */
export function tags(): string[] {
  const named = (process.env["BAWN_TAGS"] ?? "").split(",").map((each) => each.trim())
  return named.filter((each) => each !== "").slice(0, TAG_LIMIT)
}

/** By which the gateway knows that a model call belongs to this session. */
export function headers(session: string): Record<string, string> {
  const named = tags()
  return { "x-bawn-session": session, ...(named.length > 0 ? { "x-bawn-tags": named.join(",") } : {}) }
}

const beginnings = new Map<string, Promise<void>>()

/** Tells of a new session. What happens in it is told after. */
export function begin(report: Report): Promise<void> {
  const told = tell(report).finally(() => beginnings.delete(report.session))
  beginnings.set(report.session, told)
  return told
}

/** Asks whether it may happen. Throws `Refused` unless the gateway allows it. */
export async function ask(report: Report): Promise<void> {
  await beginnings.get(report.session)
  let because: string | null
  try {
    because = await sent(report, WAITING.asked)
  } catch (error) {
    const why = error instanceof NoAnswer ? error.message : "it cannot be reached"
    throw new Refused(`Bawn's gateway was asked first and gave no answer (${why}), so this was not done.`)
  }
  if (because !== null) throw new Refused(because)
}

/** Tells what has happened. Throws `Refused` only when the gateway says that it shall not be seen. */
export async function tell(report: Report): Promise<void> {
  let because: string | null
  try {
    because = await sent(report, WAITING.told)
  } catch {
    return // It has happened; the gateway sees of it what comes by the wire.
  }
  if (because !== null && report.event === "tool.execute.after") throw new Refused(because)
}

/** Null when it is allowed, else the reason why not. */
async function sent(report: Report, wait: number): Promise<string | null> {
  const named = tags()
  const options: RequestInit & { timeout: false } = {
    method: "POST",
    redirect: "error",
    headers: {
      authorization: `Bearer container-${process.env["BAWN_CONTAINER"] ?? ""}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ ...report, ...(named.length > 0 ? { tags: named } : {}) }),
    signal: AbortSignal.timeout(wait),
    timeout: false, // Bun ends a request after five minutes otherwise, and a person may take longer.
  }
  const answer = await fetch(ADDRESS, options)
  const text = await answer.text()
  if (answer.status !== 200) throw new NoAnswer(`it said ${answer.status}`)
  if (text.length > ANSWER_LIMIT) throw new NoAnswer("it said too much")
  return understood(text)
}

function understood(text: string): string | null {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    throw new NoAnswer("it said no JSON")
  }
  if (typeof read !== "object" || read === null || Array.isArray(read)) throw new NoAnswer("it said something else")
  const { effect, because } = read as { effect?: unknown; because?: unknown }
  if (effect === "allow" && because === undefined) return null
  if (effect === "deny" && typeof because === "string" && because !== "") return because
  throw new NoAnswer("it said something else")
}
