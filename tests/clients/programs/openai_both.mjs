// The official `openai` package for TypeScript, by chat completions or, told `responses`, by responses.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const hello = { role: "user", content: "Dia duit, a chara" };
const ask = { role: "user", content: 'call weather with {"city": "Gaillimh"}' };
const parameters = { type: "object", properties: { city: { type: "string" } } };
const rain = (call) => `rain in ${JSON.parse(call).city}`;

async function byChat() {
  const whole = await client.chat.completions.create({ model: "scripted/echo", messages: [hello] });
  const stream = client.chat.completions.stream({ model: "scripted/echo", messages: [hello] });
  const streamed = await stream.finalContent();
  const tools = [{ type: "function", function: { name: "weather", parameters } }];
  const first = await client.chat.completions.create({ model: "scripted/agent", messages: [ask], tools });
  const message = first.choices[0].message;
  const [call] = message.tool_calls;
  const messages = [ask, message, { role: "tool", tool_call_id: call.id, content: rain(call.function.arguments) }];
  const last = await client.chat.completions.create({ model: "scripted/agent", messages, tools });
  return { whole: whole.choices[0].message.content, streamed, tool: last.choices[0].message.content };
}

async function byResponses() {
  const whole = await client.responses.create({ model: "scripted/echo", input: hello.content });
  const stream = client.responses.stream({ model: "scripted/echo", input: hello.content });
  const streamed = (await stream.finalResponse()).output_text;
  const tools = [{ type: "function", name: "weather", parameters, strict: false }];
  const first = await client.responses.create({ model: "scripted/agent", input: [ask], tools });
  const call = first.output.find((item) => item.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: rain(call.arguments) };
  const last = await client.responses.create({ model: "scripted/agent", input: [ask, ...first.output, result], tools });
  return { whole: whole.output_text, streamed, tool: last.output_text };
}

console.log(JSON.stringify(await (process.argv[2] === "responses" ? byResponses() : byChat())));
