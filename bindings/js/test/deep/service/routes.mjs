// What the test asks of a service and tells it: the routes that processes.mjs uses.

/** Adds the routes to an Express app. */
export function addRoutes(app, raft) {
    app.get("/", (request, response) => {
        response.json({
            id: raft.getNode().id,
            leads: raft.isLeader(),
            leader: raft.getLeader(),
            members: raft.getMembers().filter(({ isVoter }) => isVoter).map(({ id }) => id),
            data: raft.getData(),
            refused: raft.getRefused(),
        });
    });
    app.put("/data", async (request, response) => {
        await raft.dispatch("replicateData", request.body).then(
            () => response.end(),
            ({ code, message }) => response.status(503).json({ code, message }),
        );
    });
}
