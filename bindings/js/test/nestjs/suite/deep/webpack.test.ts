// An application as one file, minified by webpack, in production mode: it ticks and leads.
import { everySchedule } from "../bundles.js";

everySchedule("webpack");
