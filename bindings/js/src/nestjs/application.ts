import type { ModulesContainer } from "@nestjs/core";
import { oneLine } from "../errors.js";
import type { Store } from "../store.js";
import type { LeaderElectorConfig } from "./config.js";
import { electionOf, settingsOf } from "./config.js";
import { invalid } from "./invalid.js";
import { LeaderElectorService } from "./service.js";
import { Ticks } from "./ticks.js";

/** A candidate of an application, and who asked for it first. */
interface Seat {
    readonly service: LeaderElectorService;
    readonly config: LeaderElectorConfig;
    readonly by: string;
}

const applications = new WeakMap<object, Application>();
/** Applications of this process that stand for an election. */
const running = new Set<Application>();
/** The one that was made last, unless it is closed. It may not have started yet, and never start. */
let newest: Application | undefined;

/**
 * What one application of Nest stands for, whichever of its modules import `forRoot()` and `forFeature()`:
 * one candidate for each store and election. Two would only stand against each other.
 */
export class Application {
    readonly ticks = new Ticks();
    readonly #seats = new Map<Store, Map<string, Seat>>();
    #isExplored = false;
    #standing: Promise<void> | undefined;
    #closing: Promise<void> | undefined;
    #isOver = false;

    /** The application that these modules are of. */
    static of(container: ModulesContainer): Application {
        const known = applications.get(container);
        if (known) return known;
        const made = new Application();
        applications.set(container, made);
        newest = made;
        return made;
    }

    /**
     * The applications that code of this process may run in: those that stand for an election, and the
     * newest. Those made before it that do not run were given up, as by a test that closes nothing.
     */
    static current(): Application[] {
        return [...new Set(newest ? [...running, newest] : running)];
    }

    /** The candidate for an election on a store; `by` tells people who asks for it. */
    open(store: Store, config: LeaderElectorConfig, by: string): LeaderElectorService {
        const election = electionOf(config);
        const seats = this.#seats.get(store) ?? new Map<string, Seat>();
        this.#seats.set(store, seats);
        const known = seats.get(election);
        if (known) {
            refuseOther(election, known, config, by);
            return known.service;
        }
        const service = new LeaderElectorService(store, config);
        seats.set(election, { service, config, by });
        if (this.#standing) this.#standLate(service);
        return service;
    }

    /** The service of an election by its name: on this store, or else the only one of that name. */
    find(election: string, store: Store): LeaderElectorService | undefined {
        const own = this.#seats.get(store)?.get(election);
        if (own) return own.service;
        const [only, ...more] = [...this.#seats.values()].flatMap((seats) => seats.get(election) ?? []);
        if (more.length > 0) {
            invalid(`this application stands for the election ${JSON.stringify(election)} on several ` +
                "stores, none of which is that of the module that asks; use a name of its own for each");
        }
        return only?.service;
    }

    /** The elections that it stands for, by name. */
    get elections(): string[] {
        return [...new Set([...this.#seats.values()].flatMap((seats) => [...seats.keys()]))];
    }

    /** Whether it is the first time that somebody asks: what an application has is explored once. */
    isNew(): boolean {
        const isNew = !this.#isExplored;
        this.#isExplored = true;
        return isNew;
    }

    /** Stands everywhere. An application that cannot start must not go on leading. */
    stand(): Promise<void> {
        return (this.#standing ??= this.#stand());
    }

    /** Starts no job any more. What runs goes on, and its leases are kept for it. */
    drain(): void {
        this.#isOver = true;
        this.ticks.end();
        for (const service of this.#services()) service.drain();
    }

    /** Waits for what runs, and releases. */
    close(): Promise<void> {
        return (this.#closing ??= this.#close());
    }

    async #stand(): Promise<void> {
        // Nest may close an application while it starts.
        if (this.#isOver) return;
        running.add(this);
        try {
            await Promise.all(this.#services().map((service) => service.stand()));
            this.#refuseTwins();
            await this.ticks.check();
        } catch (error) {
            await this.close();
            throw error;
        }
    }

    /** Of a module that is loaded lazily, whose hooks Nest does not call. */
    #standLate(service: LeaderElectorService): void {
        if (this.#isOver) return service.drain();
        service.stand().catch((error: unknown) => {
            const election = JSON.stringify(service.elector.election);
            service.logger?.error(`election ${election}: ${oneLine(error)}`);
        });
    }

    async #close(): Promise<void> {
        this.drain();
        await Promise.all(this.#services().map((service) => service.shutdown()));
        // Not before: objects that are made meanwhile, as for a request, still go by it.
        running.delete(this);
        if (newest === this) newest = undefined;
    }

    #services(): LeaderElectorService[] {
        return this.#all().map(({ service }) => service);
    }

    #all(): Seat[] {
        return [...this.#seats.values()].flatMap((seats) => [...seats.values()]);
    }

    /** Two clients that see one term of one candidate are on one table. */
    #refuseTwins(): void {
        const seen = new Map<string, Seat>();
        for (const seat of this.#all()) {
            const { elector } = seat.service;
            const leader = elector.leader();
            if (leader?.token === undefined) continue;
            const place = JSON.stringify([elector.election, leader.id, String(leader.token)]);
            const twin = seen.get(place);
            seen.set(place, seat);
            if (!twin) continue;
            const election = JSON.stringify(elector.election);
            invalid(`${both(twin.by, seat.by)} stand for the election ${election} in one table with ` +
                "different clients, and would stand against each other; import forRoot() once, or give " +
                "both the same `client` and the same `createTableOnInit`");
        }
    }
}

function both(first: string, second: string): string {
    return first === second ? `two imports of ${first}` : `${first} and ${second}`;
}

/** A second candidate with other settings would stand against the first one. */
function refuseOther(election: string, known: Seat, config: LeaderElectorConfig, by: string): void {
    const [first, second] = [settingsOf(known.config), settingsOf(config)];
    const differences = (Object.keys(first) as (keyof typeof first)[])
        .filter((key) => first[key] !== second[key])
        .map((key) => (key === "logger" ? key : `${key} (${String(first[key])} and ${String(second[key])})`));
    if (differences.length === 0) return;
    invalid(`${both(known.by, by)} stand for the election ${JSON.stringify(election)} on one store with ` +
        `different settings: ${differences.join(", ")}; give both the same, or give one of them an ` +
        "election of its own (`lockId` or `election`)");
}
