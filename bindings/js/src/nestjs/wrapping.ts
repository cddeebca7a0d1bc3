import "reflect-metadata";
import { invalid } from "./invalid.js";

/** A method of anything, or one that is called without its object. */
export type Method = (this: object | undefined, ...values: unknown[]) => unknown;

/**
 * Puts another function in a method's place, with its name and with all that other decorators said about
 * it: `@Cron`, `@Interval` or `@Get` below it would else silently vanish.
 */
export function replaced(descriptor: PropertyDescriptor, make: (original: Method) => Method): Method {
    const original = descriptor.value as Method;
    const wrapper = make(original);
    for (const key of Reflect.getOwnMetadataKeys(original) as unknown[]) {
        Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, original), wrapper);
    }
    Object.defineProperty(wrapper, "name", { value: original.name, configurable: true });
    Object.defineProperty(wrapper, "length", { value: original.length, configurable: true });
    descriptor.value = wrapper;
    return wrapper;
}

/**
 * Refuses to stand on anything but a method. On a property, such as an arrow function, a decorator would
 * silently do nothing, and what is in it would run on every node.
 */
export function methodUnder(
    decorator: string,
    target: object,
    key: string | symbol,
    descriptor: PropertyDescriptor | undefined,
): PropertyDescriptor {
    if (typeof descriptor?.value === "function") return descriptor;
    return invalid(`@${decorator}() on ${fullName(target, key)}: that is no method; write it as one, ` +
        `${String(key)}() { … }`);
}

/** What a call of this method gets to first: decorators above ours may have put their own function there. */
export function standing(instance: object | undefined, key: string | symbol): Method | undefined {
    const found = (instance as Record<string | symbol, unknown> | undefined)?.[key];
    return typeof found === "function" ? (found as Method) : undefined;
}

/** `Class.method`, for people and for the store. */
export function fullName(target: object, key: string | symbol): string {
    return `${target.constructor.name}.${String(key)}`;
}
