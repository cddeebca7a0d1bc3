import type { ModulesContainer } from "@nestjs/core";
import { oneLine } from "../errors.js";
import type { Store } from "../store.js";
import type { LeaderElectorConfig } from "./config.js";
import { electionOf, settingsOf } from "./config.js";
import { invalid } from "./invalid.js";
import { LeaderElectorService } from "./service.js";
import { Ticks } from "./ticks.js";

/** A candidate of an application, and the module call that registered it first. */
interface Registration {
    readonly service: LeaderElectorService;
    readonly config: LeaderElectorConfig;
    readonly by: string;
}

const applications = new WeakMap<object, Application>();
/** Applications of this process that campaign. */
const running = new Set<Application>();
/**
 * The application that was made last, until it is closed. It may not have started yet, or may never start.
 */
let newest: Application | undefined;

/**
 * The candidates of one Nest application: one for each store and election, however many of its modules import
 * `forRoot()` and `forFeature()`. Two candidates for one election would compete with each other.
 */
export class Application {
    readonly ticks = new Ticks();
    readonly #registrations = new Map<Store, Map<string, Registration>>();
    #isExplored = false;
    #campaigning: Promise<void> | undefined;
    #closing: Promise<void> | undefined;
    #isClosing = false;

    /** The application of these modules. */
    static of(container: ModulesContainer): Application {
        const known = applications.get(container);
        if (known) return known;
        const made = new Application();
        applications.set(container, made);
        newest = made;
        return made;
    }

    /**
     * The applications that code of this process may run in: those that campaign, and the newest. Older ones
     * that do not campaign were abandoned, as by a test that closes nothing.
     */
    static current(): Application[] {
        return [...new Set(newest ? [...running, newest] : running)];
    }

    /** The candidate for an election on a store, made at the first call. `by` names the caller in errors. */
    open(store: Store, config: LeaderElectorConfig, by: string): LeaderElectorService {
        const election = electionOf(config);
        const registrations = this.#registrations.get(store) ?? new Map<string, Registration>();
        this.#registrations.set(store, registrations);
        const known = registrations.get(election);
        if (known) {
            refuseOther(election, known, config, by);
            return known.service;
        }
        const service = new LeaderElectorService(store, config);
        registrations.set(election, { service, config, by });
        if (this.#campaigning) this.#campaignLate(service);
        return service;
    }

    /** The service of an election by name: that on this store, or else the only one of that name. */
    find(election: string, store: Store): LeaderElectorService | undefined {
        const own = this.#registrations.get(store)?.get(election);
        if (own) return own.service;
        const ofStores = [...this.#registrations.values()];
        const [only, ...more] = ofStores.flatMap((registrations) => registrations.get(election) ?? []);
        if (more.length > 0) {
            invalid(`this application has the election ${JSON.stringify(election)} on several stores, ` +
                "and none of them is the store of the asking module; give each election a different name");
        }
        return only?.service;
    }

    /** The names of this application's elections. */
    get elections(): string[] {
        const ofStores = [...this.#registrations.values()];
        return [...new Set(ofStores.flatMap((registrations) => [...registrations.keys()]))];
    }

    /** True at the first call only: an application is explored once. */
    isNew(): boolean {
        const isNew = !this.#isExplored;
        this.#isExplored = true;
        return isNew;
    }

    /**
     * Starts the campaigns of all candidates. If that fails the application is closed: one that cannot start
     * must not lead.
     */
    campaign(): Promise<void> {
        return (this.#campaigning ??= this.#campaign());
    }

    /** Starts no more jobs. The leases are kept for jobs in progress. */
    drain(): void {
        this.#isClosing = true;
        this.ticks.end();
        for (const service of this.#services()) service.drain();
    }

    /** Waits for the jobs in progress, and releases. */
    close(): Promise<void> {
        return (this.#closing ??= this.#close());
    }

    async #campaign(): Promise<void> {
        // Nest may close an application while it starts.
        if (this.#isClosing) return;
        running.add(this);
        try {
            await Promise.all(this.#services().map((service) => service.campaign()));
            this.#refuseSharedTable();
            await this.ticks.check();
        } catch (error) {
            await this.close();
            throw error;
        }
    }

    /** Starts the campaign of a lazily loaded module, whose hooks Nest does not call. */
    #campaignLate(service: LeaderElectorService): void {
        if (this.#isClosing) return service.drain();
        service.campaign().catch((error: unknown) => {
            const election = JSON.stringify(service.elector.election);
            service.logger?.error(`election ${election}: ${oneLine(error)}`);
        });
    }

    async #close(): Promise<void> {
        this.drain();
        await Promise.all(this.#services().map((service) => service.shutdown()));
        // Removed only now: objects that are made meanwhile, as for a request, still belong to it.
        running.delete(this);
        if (newest === this) newest = undefined;
    }

    #services(): LeaderElectorService[] {
        return this.#all().map(({ service }) => service);
    }

    #all(): Registration[] {
        return [...this.#registrations.values()].flatMap((registrations) => [...registrations.values()]);
    }

    /** Refuses two candidates whose clients use the same table: both see the same term of the same leader. */
    #refuseSharedTable(): void {
        const seen = new Map<string, Registration>();
        for (const registration of this.#all()) {
            const { elector } = registration.service;
            const leader = elector.leader();
            if (leader?.token === undefined) continue;
            const place = JSON.stringify([elector.election, leader.id, String(leader.token)]);
            const other = seen.get(place);
            seen.set(place, registration);
            if (!other) continue;
            const election = JSON.stringify(elector.election);
            invalid(`${both(other.by, registration.by)} campaign for the election ${election} in one table ` +
                "with different clients, and would compete with each other; import forRoot() once, or " +
                "give both the same `client` and the same `createTableOnInit`");
        }
    }
}

function both(first: string, second: string): string {
    return first === second ? `two imports of ${first}` : `${first} and ${second}`;
}

/** Refuses a second candidate with other settings, which would compete with the first one. */
function refuseOther(election: string, known: Registration, config: LeaderElectorConfig, by: string): void {
    const [first, second] = [settingsOf(known.config), settingsOf(config)];
    const differences = (Object.keys(first) as (keyof typeof first)[])
        .filter((key) => first[key] !== second[key])
        .map((key) => (key === "logger" ? key : `${key} (${String(first[key])} and ${String(second[key])})`));
    if (differences.length === 0) return;
    invalid(`${both(known.by, by)} campaign for the election ${JSON.stringify(election)} on one store ` +
        `with different settings: ${differences.join(", ")}; give both the same settings, or give one ` +
        "of them another election (`lockId` or `election`)");
}
