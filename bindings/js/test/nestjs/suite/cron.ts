// cron 3, which Nest 10 brings, stops a job for good if the machine delays it between two readings of the
// clock: the time until the next run is then negative, and cron 3 takes that for "never again". cron 4 runs
// the job.
import { CronJob, CronTime } from "cron";

const isCron3 = "running" in new CronJob("* * * * * *", () => undefined, null, false);
if (isCron3) {
    const { getTimeout } = CronTime.prototype;
    CronTime.prototype.getTimeout = function () {
        return Math.max(0, getTimeout.call(this));
    };
}
