/// <reference lib="esnext.disposable" preserve="true" />
export { Raftq } from "./raftq.js";
export { RaftRole } from "./types.js";
export type { Founder, RaftqOptions } from "./options.js";
export type {
    CallbackFunc, Dispatched, Emitted, Fence, LeaderChange, LogMessage, MembershipChange, MessageType,
    PersistAgent, PersistedState, RaftEventType, RaftMember, RaftMessage, RaftMessageKind, RaftNode,
    RaftNodeId, RefusedMessages, RoleChange, UnsubscribeFunc,
} from "./types.js";
export { ElectorError } from "../errors.js";
export type { ElectorErrorCode } from "../errors.js";
export { fileAgent } from "./agents/file.js";
export { memoryAgent } from "./agents/memory.js";
export { BroadcastTransport } from "./transports/broadcast.js";
export { HttpTransport } from "./transports/http.js";
export type { HttpOptions, HttpRequest, HttpResponse } from "./transports/http.js";
export { MemoryTransport } from "./transports/memory.js";
