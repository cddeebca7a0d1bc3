import { Application } from "./application.js";
import { LeaderElections } from "./elections.js";
import { invalid } from "./invalid.js";
import { hasNestApplication } from "./nest.js";

/** The elections that each object with decorated methods goes by. */
const owners = new WeakMap<object, LeaderElections>();
/** The same of decorated classes, by application: Nest makes objects of some classes for each request. */
const classes = new WeakMap<Application, WeakMap<object, LeaderElections>>();

/** Remembers which elections an object with decorated methods goes by, and other objects of its class. */
export function own(instance: object, elections: LeaderElections): void {
    owners.set(instance, elections);
    const known = classes.get(elections.application) ?? new WeakMap<object, LeaderElections>();
    classes.set(elections.application, known);
    known.set(instance.constructor, elections);
}

/**
 * The elections of the application that an object belongs to; none in a process that has made no application
 * of Nest, as in a unit test. Where there is one, an object of a class that it does not know goes by it: the
 * application's own code may have made that object, and then it must not run on every replica.
 */
export function electionsOf(
    instance: object | undefined,
    decorator: string,
    method: string,
): LeaderElections | undefined {
    const owner = instance && owners.get(instance);
    if (owner) return owner;
    // Objects made for each request are not known one by one.
    const all = Application.current();
    const [only] = all;
    const found = only && all.length === 1 ? electionsIn(only, instance) : undefined;
    if (found) {
        // Also once it is closed.
        if (instance) owners.set(instance, found);
        return found;
    }
    if (!hasNestApplication()) return undefined;
    const [count, cure] = all.length > 1
        ? [`${all.length} applications`, "run each in a process of its own, or make its class a provider " +
            "of the default scope"]
        : ["no application", "import LeaderElectorModule.forRoot(); a unit test of a plain object needs a " +
            "process (in Jest: a file) that makes no application of Nest"];
    return invalid(`@${decorator}() on ${method}: ${count} of this process with an election that it could ` +
        `belong to; ${cure}`);
}

/** The elections that objects of this class go by in an application; else those of its first `forRoot()`. */
function electionsIn(application: Application, instance: object | undefined): LeaderElections | undefined {
    const ofClass = instance && classes.get(application)?.get(instance.constructor);
    return ofClass ?? LeaderElections.rootsOf(application)[0];
}
