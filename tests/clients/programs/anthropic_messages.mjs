// The official `@anthropic-ai/sdk`, told nothing but its environment.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ maxRetries: 0 });
const hello = { role: "user", content: "Dia duit, a chara" };
const ask = { role: "user", content: 'call weather with {"city": "Gaillimh"}' };
const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
const agent = { model: "scripted/agent", max_tokens: 100, tools };

const whole = await client.messages.create({ model: "scripted/echo", max_tokens: 100, messages: [hello] });
const stream = client.messages.stream({ model: "scripted/echo", max_tokens: 100, messages: [hello] });
const streamed = await stream.finalText();
const first = await client.messages.stream({ ...agent, messages: [ask] }).finalMessage();
const call = first.content.find((block) => block.type === "tool_use");
const result = { type: "tool_result", tool_use_id: call.id, content: `rain in ${call.input.city}` };
const messages = [ask, { role: "assistant", content: first.content }, { role: "user", content: [result] }];
const last = await client.messages.create({ ...agent, messages });
console.log(JSON.stringify({ whole: whole.content[0].text, streamed, tool: last.content.at(-1).text }));
