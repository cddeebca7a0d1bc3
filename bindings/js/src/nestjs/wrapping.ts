import "reflect-metadata";

/** A method of anything. */
export type Method = (this: object, ...values: unknown[]) => unknown;

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

/** `Class.method`, for people and for the store. */
export function fullName(target: object, key: string | symbol): string {
    return `${target.constructor.name}.${String(key)}`;
}
