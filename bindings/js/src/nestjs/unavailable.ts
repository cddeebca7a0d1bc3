import { HttpStatus, ServiceUnavailableException } from "@nestjs/common";
import type { LeaderElectorService } from "./service.js";

/** The answer of a node that does not lead: 503, with the leader's name and `meta`. */
export function unavailable(service: LeaderElectorService): ServiceUnavailableException {
    const { election, candidate } = service.elector;
    const leader = service.leader();
    const known = leader && leader.candidate !== candidate
        ? { candidate: leader.candidate, ...(leader.meta === undefined ? {} : { meta: leader.meta }) }
        : undefined;
    const who = known ? `the leader is ${JSON.stringify(known.candidate)}` : "no leader is known; retry soon";
    return new ServiceUnavailableException({
        statusCode: HttpStatus.SERVICE_UNAVAILABLE,
        error: "Service Unavailable",
        message: `this node does not lead the election ${JSON.stringify(election)}; ${who}`,
        election,
        ...(known ? { leader: known } : {}),
    });
}
