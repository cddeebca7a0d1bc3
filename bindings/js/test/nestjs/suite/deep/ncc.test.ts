// An application as one file, minified by ncc: it ticks and leads.
import { everySchedule } from "../bundles.js";

everySchedule("ncc");
