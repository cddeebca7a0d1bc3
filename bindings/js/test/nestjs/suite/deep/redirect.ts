// Loaded before the document's examples: connections to port 5432 go to the server of the tests.
import { Socket } from "node:net";

const port = Number(process.env["ELECTOR_TEST_PORT"]);
const connect = Socket.prototype.connect as (this: Socket, ...values: unknown[]) => Socket;

Socket.prototype.connect = function (this: Socket, ...values: unknown[]): Socket {
    return values[0] === 5432 ? connect.call(this, port, "127.0.0.1") : connect.apply(this, values);
} as typeof Socket.prototype.connect;
