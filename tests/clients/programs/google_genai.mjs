// The official `@google/genai`. It reads its key from the environment; the address as well.
import { GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({});
const hello = "Dia duit, a chara";
const ask = { role: "user", parts: [{ text: 'call weather with {"city": "Gaillimh"}' }] };
const parametersJsonSchema = { type: "object", properties: { city: { type: "string" } } };
const config = { tools: [{ functionDeclarations: [{ name: "weather", parametersJsonSchema }] }] };

const whole = await client.models.generateContent({ model: "scripted/echo", contents: hello });
let streamed = "";
for await (const piece of await client.models.generateContentStream({ model: "scripted/echo", contents: hello }))
  streamed += piece.text ?? "";
const first = await client.models.generateContent({ model: "scripted/agent", contents: [ask], config });
const [call] = first.functionCalls;
const result = { id: call.id, name: call.name, response: { result: `rain in ${call.args.city}` } };
const contents = [ask, first.candidates[0].content, { role: "user", parts: [{ functionResponse: result }] }];
const last = await client.models.generateContent({ model: "scripted/agent", contents, config });
console.log(JSON.stringify({ whole: whole.text, streamed, tool: last.text }));
