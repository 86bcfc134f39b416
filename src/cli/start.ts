/** `millrace start`: this process is the broker until it is told to stop. */
import { Command } from "commander";

import { systemClock } from "../clock.ts";
import { type BrokerConfig, loadConfig } from "../config.ts";
import { createLogger, type Logger } from "../log.ts";
import { notifySocket, ServiceNotifier } from "../systemd.ts";
import { addConfigOptions, configFlags } from "./config-options.ts";
import { describeFailure, EXIT, LoggedError } from "./exit-code.ts";

/** A stop that takes longer is cut off: what is acknowledged is on disk already. */
const STOP_MS_MAX = 9_500;

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
type StopSignal = (typeof STOP_SIGNALS)[number];

/** What a shell reports for a process that the signal ended. */
const SIGNAL_EXIT: Record<StopSignal, number> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

export function startCommand(): Command {
	const command = new Command("start").description("run a broker until SIGTERM or Ctrl-C");
	addConfigOptions(command);
	return command.action(async () => {
		const { config, unknownEnvironment } = loadConfig({
			flags: configFlags(command),
			environment: process.env,
		});
		const logger = createLogger(config.logLevel);
		for (const name of unknownEnvironment) logger.warn({ name }, "no option has this variable");
		try {
			await serve(config, logger);
		} catch (error) {
			logger.fatal({ err: error }, describeFailure(error));
			throw new LoggedError("see the log", { cause: error });
		}
		process.exit(EXIT.done);
	});
}

/** Runs a broker until a signal tells it to stop, and stops it in order. */
async function serve(config: BrokerConfig, logger: Logger): Promise<void> {
	// From the first moment on: a signal while the broker starts stops it as soon as it has.
	const signal = firstStopSignal(logger);
	// Here and not above: what only asks for help does without it.
	const { startBroker } = await import("../broker.ts");
	const service = new ServiceNotifier(notifySocket(process.env.NOTIFY_SOCKET), systemClock, logger);
	const broker = await startBroker(config, {
		memory: false,
		logger,
		onRecovering: ({ opened, asked }) => service.recovering(opened, asked),
	});
	service.ready(`serving at ${broker.addresses.websocket}`);
	endOnUncaught(logger);
	logger.info({ signal: await signal }, "stopping");
	service.stopping();
	const deadline = setTimeout(() => {
		logger.fatal({ afterMs: STOP_MS_MAX }, "the stop took too long and was cut off");
		process.exit(EXIT.failed);
	}, STOP_MS_MAX).unref();
	await broker.close();
	clearTimeout(deadline);
	logger.info("stopped");
}

/** Resolves at the first signal to stop; the second ends the process at once. */
function firstStopSignal(logger: Logger): Promise<StopSignal> {
	return new Promise((resolve) => {
		let isStopping = false;
		for (const name of STOP_SIGNALS) {
			process.on(name, () => {
				if (isStopping) {
					logger.warn({ signal: name }, "second signal: ending at once");
					process.exit(SIGNAL_EXIT[name]);
				}
				isStopping = true;
				resolve(name);
			});
		}
	});
}

/**
 * After an error that nobody caught nothing in memory can be relied on: recovery is left to the
 * next start.
 */
function endOnUncaught(logger: Logger): void {
	process.on("uncaughtException", (error) => {
		logger.fatal({ err: error }, "an error that nobody caught: the broker ends");
		process.exit(EXIT.failed);
	});
}
