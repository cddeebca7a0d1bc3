import "reflect-metadata";
import { invalid } from "./invalid.js";

/** A method of any object, or one that is called without its object. */
export type Method = (this: object | undefined, ...values: unknown[]) => unknown;

/**
 * Replaces a method by a wrapper with its name and the metadata of other decorators: `@Cron`, `@Interval` or
 * `@Get` below would otherwise silently have no effect.
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
 * Refuses a decorator on anything but a method. On a property, such as an arrow function, it would silently
 * have no effect, and the function would run on every node.
 */
export function methodUnder(
    decorator: string,
    target: object,
    key: string | symbol,
    descriptor: PropertyDescriptor | undefined,
): PropertyDescriptor {
    if (typeof descriptor?.value === "function") return descriptor;
    return invalid(`@${decorator}() on ${fullName(target, key)}: this is not a method; write it as ` +
        `the method ${String(key)}() { … }`);
}

/** The function that is called first for a method: decorators above ours may have replaced our wrapper. */
export function outermost(instance: object | undefined, key: string | symbol): Method | undefined {
    const found = (instance as Record<string | symbol, unknown> | undefined)?.[key];
    return typeof found === "function" ? (found as Method) : undefined;
}

/** `Class.method`, for messages and for the store. */
export function fullName(target: object, key: string | symbol): string {
    return `${target.constructor.name}.${String(key)}`;
}
