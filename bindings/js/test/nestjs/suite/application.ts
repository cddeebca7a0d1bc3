// Applications without HTTP, which are closed after the tests.
import type { INestApplicationContext, ModuleMetadata } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";

const opened = new Set<INestApplicationContext>();

/** Starts an application of this module; `closeAll` closes it if the test does not. */
export async function openApplication(metadata: ModuleMetadata): Promise<INestApplicationContext> {
    const module = { module: class Application {}, ...metadata };
    const options = { logger: false, abortOnError: false } as const;
    const application = await NestFactory.createApplicationContext(module, options);
    opened.add(application);
    return application;
}

/** Closes an application that can be closed only once. */
export async function closeForGood(application: INestApplicationContext): Promise<void> {
    opened.delete(application);
    await application.close();
}

/** Closes all applications that are still open. */
export async function closeAll(): Promise<void> {
    await Promise.all([...opened].map((application) => application.close()));
}
