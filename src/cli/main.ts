#!/usr/bin/env node
import { EXIT } from "./exit-code.ts";
import { run } from "./run.ts";

// A reader that has seen enough (`| head`) is no failure, and without one there is nothing left to
// do.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(EXIT.done);
	throw error;
});
// Where nobody can be told, the exit code has to do.
process.stderr.on("error", () => undefined);

process.exitCode = await run(process.argv.slice(2));
