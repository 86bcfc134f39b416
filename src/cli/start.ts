/** `millrace start`: this process is the broker until it is told to stop. */
import { Command } from "commander";

import { systemClock } from "../clock.ts";
import { LiveConfig } from "../config/live.ts";
import { type ConfigSources, loadConfig } from "../config/load.ts";
import { reportPanics, writeCrashReport } from "../crash-report.ts";
import { type Logger, Logs } from "../log.ts";
import { loadNative } from "../native.ts";
import { notifySocket, ServiceNotifier, watchdogUs } from "../systemd.ts";
import { addConfigOptions, configFlags } from "./config-options.ts";
import { describeFailure, EXIT, LoggedError } from "./exit-code.ts";
import { Reloads } from "./reload.ts";

/**
 * A stop that takes longer is cut off, from the signal on: what is acknowledged is on disk already,
 * and a recovery that is cut off is done again.
 */
const STOP_MS_MAX = 9_500;

/** A terminal that goes tells so by SIGHUP; a broker without one reads its configuration again. */
const STOP_SIGNALS = process.stdin.isTTY
	? (["SIGTERM", "SIGINT", "SIGHUP"] as const)
	: (["SIGTERM", "SIGINT"] as const);
type StopSignal = (typeof STOP_SIGNALS)[number];

/** What a shell reports for a process that the signal ended. */
const SIGNAL_EXIT: Record<StopSignal, number> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

export function startCommand(): Command {
	const command = new Command("start").description("run a broker until SIGTERM or Ctrl-C");
	addConfigOptions(command);
	return command.action(async () => {
		const sources = { flags: configFlags(command), environment: process.env };
		const loaded = await loadConfig(sources);
		const live = new LiveConfig(loaded);
		const logs = new Logs(live);
		const logger = logs.of("broker");
		for (const name of loaded.unknownEnvironment)
			logs.of("config").warn({ name }, "no option has this variable");
		try {
			await serve(live, sources, logs);
		} catch (error) {
			logger.fatal({ err: error }, describeFailure(error));
			throw new LoggedError("see the log", { cause: error });
		}
		process.exit(EXIT.done);
	});
}

/** Runs a broker until a signal tells it to stop, and stops it in order. */
async function serve(live: LiveConfig, sources: ConfigSources, logs: Logs): Promise<void> {
	const logger = logs.of("broker");
	const service = new ServiceNotifier(notifySocket(process.env.NOTIFY_SOCKET), systemClock, logger);
	// From the first moment on: a signal while the broker starts stops it as soon as it has.
	const stop = new Stop(logger, service);
	endOnUncaught(live.config.dataDir, logger);
	const failure = reportPanics(live.config.dataDir);
	if (failure !== null) logger.warn({ err: failure }, "old reports of crashes are left lying");
	const reloads = new Reloads(live, sources, logs.of("config"));
	// Here and not above: what only asks for help does without it.
	const { startBroker } = await import("../broker.ts");
	const timeoutUs = watchdogUs(process.env, process.pid);
	if (timeoutUs !== undefined) service.watch(timeoutUs);
	const broker = await startBroker(live, {
		memory: false,
		logs,
		onRecovering: ({ opened, asked }) => service.recovering(opened, asked),
	});
	stop.startIsDone();
	service.ready(`serving at ${broker.addresses.websocket}`);
	reloads.begin(broker, service);
	await stop.asked;
	await broker.close();
	stop.isDone();
	logger.info("stopped");
}

/**
 * What the first signal to stop asks for: from then on the process has so long to end, whatever it
 * is at. The second signal ends it at once.
 */
class Stop {
	/** Resolves at the first signal. */
	readonly asked: Promise<void>;
	readonly #logger: Logger;
	readonly #service: ServiceNotifier;
	#isStarting = true;
	/** The signal came before anything was served. */
	#isOfStart = false;
	/** Since the first signal. */
	#deadline: NodeJS.Timeout | undefined;

	constructor(logger: Logger, service: ServiceNotifier) {
		this.#logger = logger;
		this.#service = service;
		this.asked = new Promise((resolve) => {
			for (const signal of STOP_SIGNALS) {
				process.on(signal, () => {
					if (this.#deadline !== undefined) this.#endAtOnce(signal);
					this.#begin(signal);
					resolve();
				});
			}
		});
	}

	startIsDone(): void {
		this.#isStarting = false;
	}

	isDone(): void {
		clearTimeout(this.#deadline);
	}

	#begin(signal: StopSignal): void {
		const once = this.#isStarting ? " once the start is done" : "";
		this.#isOfStart = this.#isStarting;
		this.#logger.info({ signal }, `stopping${once}`);
		this.#service.stopping();
		this.#deadline = setTimeout(() => this.#cutOff(), STOP_MS_MAX).unref();
	}

	#cutOff(): never {
		if (this.#isOfStart) {
			const what = "the start was not done in time and is cut off: the next one recovers anew";
			this.#logger.warn({ afterMs: STOP_MS_MAX }, what);
			endNow(EXIT.done);
		}
		this.#logger.fatal({ afterMs: STOP_MS_MAX }, "the stop took too long and was cut off");
		endNow(EXIT.failed);
	}

	#endAtOnce(signal: StopSignal): never {
		this.#logger.warn({ signal }, "second signal: ending at once");
		endNow(SIGNAL_EXIT[signal]);
	}
}

/**
 * Ends the process whatever its threads are at: an exit waits for those of Node's pool, and in a
 * start that is the whole recovery.
 */
function endNow(code: number): never {
	loadNative().endProcess(code);
	throw new Error("the process has ended");
}

/**
 * After an error that nobody caught nothing in memory can be relied on: recovery is left to the
 * next start.
 */
function endOnUncaught(dataDir: string, logger: Logger): void {
	process.on("uncaughtException", (error) => {
		const report = writeCrashReport(dataDir, error);
		const what = "an error that nobody caught: the broker ends";
		if (typeof report === "string") logger.fatal({ err: error, report }, `${what}; see the report`);
		else logger.fatal({ err: error, report: null, reason: report.message }, what);
		endNow(EXIT.failed);
	});
}
