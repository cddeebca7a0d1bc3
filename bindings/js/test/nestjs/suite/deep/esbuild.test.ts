// An application as one file, minified by esbuild: it ticks and leads.
import { everySchedule } from "../bundles.js";

everySchedule("esbuild");
