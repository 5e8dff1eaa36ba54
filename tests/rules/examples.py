"""The seven examples that people copy from, as they are written there."""

from __future__ import annotations

import json
from typing import Any

EXAMPLES = r"""[
{
  "id": "safety-guardrail",
  "name": "Production safety guardrail",
  "enabled": true,
  "description": "Prevent destructive commands in production sessions",
  "trigger": {
    "event": "chat.system.transform",
    "tags": ["prod"]
  },
  "action": {
    "type": "prompt-inject",
    "content": "CRITICAL: Never execute destructive commands (rm -rf, DROP TABLE, DELETE FROM, git push --force, etc.) without explicitly asking the user first. This is a production environment. Confirm before any irreversible action.",
    "position": "append",
    "target": "system"
  },
  "cooldownMs": 0
},
{
  "id": "cost-watchdog",
  "name": "AI cost watchdog",
  "enabled": true,
  "description": "Track all tool executions for cost analysis",
  "trigger": {
    "event": "tool.execute.after",
    "tags": []
  },
  "action": {
    "type": "webhook",
    "url": "https://your-tracking.example.com/api/ai-usage",
    "method": "POST",
    "headers": {
      "Authorization": "Bearer YOUR_TRACKING_TOKEN"
    }
  },
  "cooldownMs": 0
},
{
  "id": "deploy-alert",
  "name": "Production deploy alert",
  "enabled": true,
  "description": "Alert when AI mentions deploying to production",
  "trigger": {
    "event": "chat.message",
    "tags": ["prod"],
    "contentMatch": "deploy.*prod|production.*push|push.*production"
  },
  "action": {
    "type": "notification",
    "title": "Production Deploy Detected",
    "body": "AI agent wants to deploy to production. Review in Hoody OS."
  },
  "cooldownMs": 30000
},
{
  "id": "json-enforcer",
  "name": "Enforce JSON responses",
  "enabled": true,
  "description": "Force structured JSON output for API-mode sessions",
  "trigger": {
    "event": "chat.system.transform",
    "tags": ["api-mode"]
  },
  "action": {
    "type": "prompt-inject",
    "content": "You MUST respond in valid JSON with the following keys: { \"answer\": string, \"confidence\": number (0-1), \"reasoning\": string }. No markdown, no commentary outside the JSON object.",
    "position": "prepend",
    "target": "system"
  },
  "cooldownMs": 0
},
{
  "id": "error-alert",
  "name": "Global error alert",
  "enabled": true,
  "description": "Alert incident system on any session error",
  "trigger": {
    "event": "session.error",
    "tags": []
  },
  "action": {
    "type": "webhook",
    "url": "https://events.pagerduty.com/v2/enqueue",
    "method": "POST",
    "headers": {
      "Content-Type": "application/json"
    }
  },
  "cooldownMs": 10000
},
{
  "id": "dev-context-inject",
  "name": "Inject dev infrastructure context",
  "enabled": true,
  "description": "Remind agent about available services before bash commands",
  "trigger": {
    "event": "tool.execute.before",
    "tags": ["dev"],
    "toolName": "bash"
  },
  "action": {
    "type": "message",
    "content": "Reminder: this container has PostgreSQL on port 5432 (user: dev, db: appdb) and Redis on port 6379. Use them if relevant to the current task."
  },
  "cooldownMs": 60000
},
{
  "id": "file-access-log",
  "name": "Log AI file access",
  "enabled": true,
  "description": "Audit trail of files the AI reads",
  "trigger": {
    "event": "tool.execute.after",
    "toolName": "read",
    "tags": []
  },
  "action": {
    "type": "shell",
    "command": "echo \"$(date -Iseconds) session=$MITM_SESSION_ID file=$MITM_TOOL_INPUT\" >> /var/log/ai-file-access.log"
  },
  "cooldownMs": 0
}
]"""


def example(id_: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in json.loads(EXAMPLES) if each["id"] == id_)
    return {**found, **changes}
