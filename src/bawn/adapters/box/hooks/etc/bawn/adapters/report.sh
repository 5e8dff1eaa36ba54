#!/bin/sh
# What a hook of Claude Code or Codex says goes to Bawn's gateway, and its answer back: sh report.sh AGENT ask|tell
# `ask`: something may still be kept from happening, so whatever is no sound answer blocks it (2). `tell`: it has happened.
# Nothing is decided here. Without this file the gateway decides all the same, only later.

agent=$1 way=$2
address="http://ai.bawn.internal/hooks/$agent"
if [ "$way" = ask ]; then wait_s=900; else wait_s=10; fi

no_answer() {
    [ "$way" = ask ] || exit 0
    echo "Bawn's gateway was asked first and gave no answer ($1), so this was not done." >&2
    exit 2
}

if command -v curl >/dev/null 2>&1; then
    answer=$(curl --silent --fail --noproxy '*' --max-time "$wait_s" --max-filesize 65536 --request POST \
        --header 'content-type: application/json' --header 'expect:' \
        --header "authorization: Bearer container-$BAWN_CONTAINER" --header "x-bawn-tags: $BAWN_TAGS" \
        --write-out '%{http_code}' --data-binary @- "$address" 2>/dev/null) || no_answer "it cannot be reached, or it refused"
    case $answer in *200) answer=${answer%200} ;; *) no_answer "it refused" ;; esac
elif command -v python3 >/dev/null 2>&1; then
    answer=$(python3 -I -c '
import os, sys, urllib.request as web
named = {"content-type": "application/json", "authorization": "Bearer container-" + os.environ.get("BAWN_CONTAINER", "")}
if os.environ.get("BAWN_TAGS"):
    named["x-bawn-tags"] = os.environ["BAWN_TAGS"]
class Straight(web.HTTPRedirectHandler):
    def redirect_request(self, *said):
        return None
asked = web.Request(sys.argv[1], sys.stdin.buffer.read(), named)
with web.build_opener(web.ProxyHandler({}), Straight).open(asked, timeout=float(sys.argv[2])) as said:
    read = said.read(65537)
    sys.exit(1) if said.status != 200 or len(read) > 65536 else sys.stdout.buffer.write(read)
' "$address" "$wait_s" 2>/dev/null) || no_answer "it cannot be reached, or it refused"
elif command -v node >/dev/null 2>&1; then
    answer=$(node -e '
const http = require("http"), [address, wait] = process.argv.slice(1), pieces = []
const no = () => process.exit(1)
setTimeout(no, wait * 1000)
const named = { "content-type": "application/json", authorization: "Bearer container-" + process.env.BAWN_CONTAINER }
if (process.env.BAWN_TAGS) named["x-bawn-tags"] = process.env.BAWN_TAGS
const body = require("fs").readFileSync(0)
const asked = http.request(address, { method: "POST", headers: { ...named, "content-length": body.length } }, (said) => {
  if (said.statusCode !== 200) no()
  let length = 0
  said.on("data", (piece) => ((length += piece.length) > 65536 ? no() : pieces.push(piece)))
  said.on("aborted", no)
  said.on("end", () => process.stdout.write(Buffer.concat(pieces), () => process.exit(0)))
})
asked.on("error", no)
asked.end(body)
' "$address" "$wait_s" 2>/dev/null) || no_answer "it cannot be reached, or it refused"
else
    no_answer "this image has none of curl, python3 and node"
fi

# An answer that the agent does not understand would be let pass by it.
case $answer in
    '{}') ;;
    '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"'*'"}}' | \
    '{"decision":"block","reason":"'*'"}') printf '%s' "$answer" ;;
    *) no_answer "it said something else" ;;
esac
