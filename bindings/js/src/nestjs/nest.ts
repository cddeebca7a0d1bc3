import { ModulesContainer } from "@nestjs/core";

let isMade = false;

// Nest announces an application to no code outside of it, but adds each of its modules to this container.
const { set } = ModulesContainer.prototype;
ModulesContainer.prototype.set = function (...entry) {
    isMade = true;
    return set.apply(this, entry);
};

/** Whether this process has made an application of Nest, also one without an election, or for tests. */
export function hasNestApplication(): boolean {
    return isMade;
}
