import { ModulesContainer } from "@nestjs/core";

let isMade = false;

// Nest tells code outside of an application nothing about it, but adds each of its modules to this container.
const { set } = ModulesContainer.prototype;
ModulesContainer.prototype.set = function (...entry) {
    isMade = true;
    return set.apply(this, entry);
};

/** Whether this process has made any Nest application, also one without an election, or one for tests. */
export function hasNestApplication(): boolean {
    return isMade;
}
