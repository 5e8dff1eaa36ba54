// One module for both of OpenCode's plugin interfaces: the first calls `server`, the second `setup`.
// Nothing is decided here. Without this plugin the gateway decides all the same, only later.

import { server } from "./v1.ts"
import { setup } from "./v2.ts"

export default { id: "bawn", server, setup }
