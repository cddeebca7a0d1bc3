// Chromium without a window, and its tabs.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../test/support.mjs";

/** A tab. */
class Tab {
    constructor(browser, targetId, sessionId) {
        this.browser = browser;
        this.targetId = targetId;
        this.sessionId = sessionId;
    }

    send(method, params) {
        return this.browser.send(method, params, this.sessionId);
    }

    /** Runs an expression in the tab, and resolves to its value, which JSON can express. */
    async run(expression) {
        const asked = this.send("Runtime.evaluate", { expression, returnByValue: true });
        const { result, exceptionDetails } = await asked;
        if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
        return result.value;
    }

    /** Closes the tab as a user does. */
    close() {
        return this.browser.send("Target.closeTarget", { targetId: this.targetId });
    }

    /** Crashes the tab's process. */
    crash() {
        // This request is never answered.
        this.send("Page.crash").catch(() => undefined);
    }
}

/** Chromium's DevTools protocol over a pipe: JSON messages, each ended by NUL. */
export class Browser {
    #lastId = 0;
    #asked = new Map();
    #unread = "";
    #profile = mkdtempSync(join(tmpdir(), "elector-chromium-"));
    #called;
    /** Why it answers no more. */
    #error;

    /** `called` gets the text that a tab gives to a function that `Runtime.addBinding` added. */
    constructor(called = () => undefined) {
        this.#called = called;
        // Each tab in its own process, however little memory the machine has.
        const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--renderer-process-limit=32", "--remote-debugging-pipe", `--user-data-dir=${this.#profile}`];
        const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"];
        this.child = spawn("chromium", flags, { stdio, detached: true });
        this.ended = new Promise((resolve) => this.child.on("close", resolve));
        this.child.on("error", (error) => this.#fail(new Error(`${error}: install the package chromium`)));
        this.child.on("exit", () => this.#fail(new Error("Chromium ended")));
        // Output that is written while Chromium is being killed is not missed.
        this.child.stdio[3].on("error", () => undefined);
        this.child.stdio[4].setEncoding("utf8").on("data", (data) => {
            const messages = (this.#unread + data).split("\0");
            this.#unread = messages.pop();
            for (const message of messages) this.#read(JSON.parse(message));
        });
    }

    #fail(error) {
        this.#error = error;
        for (const { reject } of this.#asked.values()) reject(error);
        this.#asked.clear();
    }

    #read({ id, result, error, method, params }) {
        if (method === "Runtime.bindingCalled") this.#called(params.payload);
        const asked = this.#asked.get(id);
        this.#asked.delete(id);
        if (error) asked?.reject(new Error(error.message));
        else asked?.resolve(result);
    }

    send(method, params = {}, sessionId = undefined) {
        return new Promise((resolve, reject) => {
            if (this.#error) return reject(this.#error);
            const id = ++this.#lastId;
            this.#asked.set(id, { resolve, reject });
            this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
        });
    }

    /** Opens a page in a tab of its own. Resolves once it is loaded. */
    async open(url) {
        const { targetId } = await this.send("Target.createTarget", { url });
        const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
        const tab = new Tab(this, targetId, sessionId);
        const isLoaded = "location.href !== 'about:blank' && document.readyState === 'complete'";
        await until(() => tab.run(isLoaded), () => `${url} is loaded`);
        return tab;
    }

    async stop() {
        if (this.child.pid && this.child.exitCode === null) process.kill(-this.child.pid, "SIGKILL");
        await this.ended;
        rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 });
    }
}
