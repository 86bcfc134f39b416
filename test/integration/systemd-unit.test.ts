/** The unit of `deploy/systemd` under a real systemd, in namespaces of its own. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

import { temporaryDirectory } from "../broker-process.ts";
import { missingMounts } from "../mounts.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const programs = fileURLToPath(new URL("systemd/", import.meta.url));

const NAMESPACES = ["--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net"];

/** They take 40 s where nothing else runs. */
const STEPS_MS_MAX = 300_000;

const UNITS = {
	"steps.target": "[Unit]\nRequires=steps.service\n",
	"steps.service":
		"[Unit]\nDefaultDependencies=no\nAfter=systemd-journald.service dbus.socket\n" +
		"Requires=systemd-journald.service dbus.socket\n" +
		"[Service]\nType=oneshot\nExecStart=/bin/bash /steps/steps.sh\nTimeoutStartSec=infinity\n",
	// Who waits for the watchdog need not wait for a minute.
	"millrace.service.d/watchdog.conf": "[Service]\nWatchdogSec=20\n",
};

/** Why no systemd of its own can be started here; null where it can. */
function missingSystemd(): string | null {
	const mounts = missingMounts();
	if (mounts !== null) return mounts;
	if (!existsSync("/lib/systemd/systemd") || spawnSync("dbus-daemon", ["--version"]).status !== 0) {
		return "systemd and D-Bus are not on this machine (.ci/run installs them)";
	}
	const { status } = spawnSync("unshare", [...NAMESPACES, "--fork", "true"]);
	return status === 0 ? null : "this machine lets nobody make namespaces";
}

test(
	"systemd starts, reloads, restarts and stops a broker by the unit",
	async (context) => {
		if (!RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const missing = missingSystemd();
		if (missing !== null) context.skip(missing);
		const directory = temporaryDirectory();
		mkdirSync(join(directory, "units/millrace.service.d"), { recursive: true });
		for (const [name, text] of Object.entries(UNITS)) {
			writeFileSync(join(directory, "units", name), text);
		}
		copyFileSync(
			join(root, "deploy/systemd/millrace.service"),
			join(directory, "units/millrace.service"),
		);
		copyFileSync(join(programs, "steps.sh"), join(directory, "steps.sh"));
		const boot = ["bash", join(programs, "boot.sh"), directory, root, process.execPath];
		const machine = spawn("unshare", [...NAMESPACES, "--fork", "--kill-child", ...boot], {
			stdio: ["ignore", "pipe", "pipe"],
			timeout: STEPS_MS_MAX,
			killSignal: "SIGKILL",
		});
		onTestFinished(() => void machine.kill("SIGKILL"));
		let console = "";
		for (const stream of [machine.stdout, machine.stderr]) {
			stream.on("data", (bytes) => {
				console += bytes;
			});
		}
		await once(machine, "close");
		const read = (name: string) => {
			const file = join(directory, name);
			return existsSync(file) ? readFileSync(file, "utf8") : "";
		};
		const status = "serving at ws://127.0.0.1:4600";
		expect(read("said").trim().split("\n"), `${console}\n${read("log")}`).toEqual([
			`start: 0 active ${status}`,
			"user: millrace",
			"produce: 0",
			`reload: 0 ${status}`,
			`killed: 1 ${status}`,
			"consume: one two ",
			`stopped-process: 2 ${status}`,
			`reload-of-nonsense: ${status}; the configuration could not be used: see the log`,
			"start-of-nonsense: failed 2 0",
			"later: failed 0",
			`start-again: ${status}`,
			"stop: inactive success 0",
			"end: reached",
		]);
	},
	2 * STEPS_MS_MAX,
);
