import { Application } from "./application.js";
import { LeaderElections } from "./elections.js";
import { invalid } from "./invalid.js";
import { hasNestApplication } from "./nest.js";

/** The elections of each explored object with decorated methods. */
const owners = new WeakMap<object, LeaderElections>();
/**
 * The elections of each decorated class, by application: Nest makes objects of some classes for each request.
 */
const classes = new WeakMap<Application, WeakMap<object, LeaderElections>>();

/** Remembers the elections of an object with decorated methods, and of its class. */
export function own(instance: object, elections: LeaderElections): void {
    owners.set(instance, elections);
    const known = classes.get(elections.application) ?? new WeakMap<object, LeaderElections>();
    classes.set(elections.application, known);
    known.set(instance.constructor, elections);
}

/**
 * The elections that an object with decorated methods uses; `undefined` in a process that has made no Nest
 * application, as in a unit test. In a process with one application, an object of an unknown class uses its
 * elections: the application's own code may have made that object, and the method must not run on every
 * replica.
 */
export function electionsOf(
    instance: object | undefined,
    decorator: string,
    method: string,
): LeaderElections | undefined {
    const owner = instance && owners.get(instance);
    if (owner) return owner;
    // Objects that are made for each request are not known individually.
    const all = Application.current();
    const [only] = all;
    const found = only && all.length === 1 ? electionsIn(only, instance) : undefined;
    if (found) {
        // Remembered also after the application has closed.
        if (instance) owners.set(instance, found);
        return found;
    }
    if (!hasNestApplication()) return undefined;
    const [count, cure] = all.length > 1
        ? [`${all.length} applications`, "run each in a separate process, or make the class a provider of " +
            "the default scope"]
        : ["no application", "import LeaderElectorModule.forRoot(); a unit test of a plain object needs a " +
            "process (in Jest: a file) that makes no application of Nest"];
    return invalid(`@${decorator}() on ${method}: this process has ${count} with an election for it; ` +
        cure);
}

/** The elections of an object's class in an application; if unknown, those of the first `forRoot()`. */
function electionsIn(application: Application, instance: object | undefined): LeaderElections | undefined {
    const ofClass = instance && classes.get(application)?.get(instance.constructor);
    return ofClass ?? LeaderElections.rootsOf(application)[0];
}
