import type { Clock } from "../clock.js";
import { hold } from "../clock.js";
import type { RaftEvent, RaftMachine, RaftOutput } from "./core.js";

/** An input for the machine. */
export type Input = (machine: RaftMachine, nowMs: number) => void;

/** What a driver tells its node. */
export interface Host {
    readonly persist: (ticket: number, bytes: Uint8Array) => void;
    readonly send: (message: Extract<RaftOutput, { kind: "send" }>) => void;
    readonly event: (event: RaftEvent) => void;
    /** The machine has handled an input and given all its outputs. */
    readonly settled: () => void;
    /** The machine panicked. It gives no output any more. */
    readonly died: (error: unknown) => void;
}

/**
 * Gives a machine its inputs, one at a time, and wakes it. A listener that gives an input while an output is
 * being handled does not run into the machine: the input waits.
 */
export class Driver {
    readonly #machine: RaftMachine;
    readonly #clock: Clock;
    readonly #host: Host;
    #inputs: Input[] = [];
    #isRunning = false;
    #isStopped = false;
    #timer: unknown;
    /** When the timer fires. */
    #timerMs = 0;

    constructor(machine: RaftMachine, clock: Clock, host: Host) {
        this.#machine = machine;
        this.#clock = clock;
        this.#host = host;
    }

    /** Handles an input now, or after the one that is being handled. */
    give(input: Input): void {
        if (this.#isStopped) return;
        this.#inputs.push(input);
        if (this.#isRunning) return;
        this.#isRunning = true;
        try {
            for (;;) {
                const next = this.#inputs.shift();
                if (!next || this.#isStopped) break;
                this.#handle(next);
            }
        } finally {
            this.#isRunning = false;
        }
    }

    /** Discards the inputs that wait, and clears the timer. */
    stop(): void {
        this.#isStopped = true;
        this.#inputs = [];
        this.#clock.clearTimeout(this.#timer);
        this.#timer = undefined;
    }

    #handle(input: Input): void {
        try {
            input(this.#machine, this.#clock.now());
            this.#poll();
        } catch (error) {
            this.stop();
            return this.#host.died(error);
        }
        this.#host.settled();
    }

    #poll(): void {
        for (;;) {
            const output = this.#machine.poll();
            if (typeof output === "number") return this.#wait(output);
            switch (output.kind) {
                case "persist":
                    this.#host.persist(output.ticket, output.bytes);
                    break;
                case "send":
                    this.#host.send(output);
                    break;
                case "event":
                    this.#host.event(output);
            }
        }
    }

    /** Sets the timer, unless it is set for that instant. */
    #wait(untilMs: number): void {
        if (this.#isStopped || (this.#timer !== undefined && untilMs === this.#timerMs)) return;
        this.#clock.clearTimeout(this.#timer);
        this.#timerMs = untilMs;
        // Timers take whole milliseconds below 2^31. A node without a deadline has one too: see below.
        const ms = Math.min(Math.max(0, Math.ceil(untilMs - this.#clock.now())), 2 ** 31 - 1);
        this.#timer = this.#clock.setTimeout(() => {
            this.#timer = undefined;
            this.give((machine, now) => machine.timeout(now));
        }, ms);
        // A node is there for others: its timer keeps the process alive until the node is destroyed.
        hold(this.#timer, "alive");
    }
}
