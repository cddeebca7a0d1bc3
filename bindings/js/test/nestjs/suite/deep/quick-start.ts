// An application around the document's Quick Start: asks once in a while, as a scheduler would.
import "reflect-metadata";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { AppModule } from "./seed/app.module.js";
import { TasksService } from "./seed/tasks.service.js";

@Module({ imports: [AppModule], providers: [TasksService] })
class Application {}

async function main(): Promise<void> {
    const options = { logger: ["error", "warn"] } as { logger: ("error" | "warn")[] };
    const application = await NestFactory.createApplicationContext(Application, options);
    application.enableShutdownHooks();
    setInterval(() => void application.get(TasksService).performCriticalTask(), 50);
}

void main();
