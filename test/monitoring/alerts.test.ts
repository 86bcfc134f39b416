/**
 * The alert rules of docs/monitoring/alerts.yaml: each fires when it should and not before, by
 * promtool; and a real Prometheus that scrapes real brokers tells of the one that is in trouble.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { parse, stringify } from "yaml";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority, replaceFile } from "../certificates.ts";
import {
	hasOpenssl,
	MISSING_OPENSSL,
	MISSING_PROMETHEUS,
	MISSING_PROMTOOL,
	prometheusBinary,
	promtoolBinary,
} from "../optional-parts.ts";
import { seriesOf } from "./series.ts";

const RULES_FILE = fileURLToPath(new URL("../../docs/monitoring/alerts.yaml", import.meta.url));
const TESTS_FILE = fileURLToPath(new URL("alerts.yaml", import.meta.url));

const HOUR_MS = 3_600_000;
const SCRAPE_SECONDS = 1;
const POLL = { timeout: 120_000, interval: 250 };
/** promtool takes seconds, on a busy machine many. */
const PROMTOOL = { timeout: 240_000 };

interface Rules {
	readonly groups: readonly { readonly rules: { readonly alert: string; expr: string }[] }[];
}

interface AlertTests {
	readonly rule_files: readonly string[];
	readonly tests: readonly {
		readonly alert_rule_test: readonly { alertname: string; exp_alerts: readonly unknown[] }[];
	}[];
}

const readRules = (): Rules => parse(readFileSync(RULES_FILE, "utf8"));
const readTests = (): AlertTests => parse(readFileSync(TESTS_FILE, "utf8"));
const namesOf = (rules: Rules) =>
	rules.groups.flatMap((group) => group.rules.map((rule) => rule.alert));

/** What promtool says of unit tests; "" when all hold. */
function failuresOf(promtool: string, file: string): string {
	const { status, stdout, stderr } = spawnSync(promtool, ["test", "rules", file]);
	return status === 0 ? "" : `${stdout}${stderr}`;
}

test(
	"every alert fires for a broker in trouble, in its words, and for no other",
	PROMTOOL,
	(context) => {
		const promtool = promtoolBinary() ?? context.skip(MISSING_PROMTOOL);
		expect(failuresOf(promtool, TESTS_FILE)).toBe("");
		const cases = readTests().tests.flatMap((one) => one.alert_rule_test);
		for (const name of namesOf(readRules())) {
			const expected = cases.filter(({ alertname }) => alertname === name);
			const counts = expected.map(({ exp_alerts }) => exp_alerts.length);
			expect(Math.max(...counts), `${name} fires`).toBeGreaterThan(0);
			expect(Math.min(...counts), `${name} is quiet`).toBe(0);
		}
	},
);

test.for([
	["always there", (expr: string) => `(${expr}) or ${metricOf(expr)}`],
	["never there", (expr: string) => `(${expr}) and ${metricOf(expr)} < -1`],
] as const)("alerts that would be %s are found out", PROMTOOL, ([, spoil], context) => {
	const promtool = promtoolBinary() ?? context.skip(MISSING_PROMTOOL);
	const directory = temporaryDirectory();
	const testsFile = join(directory, "tests.yaml");
	writeFileSync(testsFile, stringify({ ...readTests(), rule_files: ["rules.yaml"] }));
	const rules = readRules();
	for (const rule of rules.groups.flatMap((group) => group.rules)) rule.expr = spoil(rule.expr);
	writeFileSync(join(directory, "rules.yaml"), stringify(rules));
	const failures = failuresOf(promtool, testsFile);
	for (const name of namesOf(rules)) expect(failures).toContain(`alertname: ${name},`);
});

/** The first metric that an expression names. */
function metricOf(expr: string): string {
	return /\b(?:up|millrace_\w+|nodejs_\w+)\b/.exec(expr)?.[0] as string;
}

/** A broker whose certificate and configuration break while it runs, and a group far behind. */
async function brokerInTrouble(keystore: string) {
	const config = join(temporaryDirectory(), "millrace.yaml");
	writeFileSync(config, "log.retention.hours: 5\n");
	const broker = await BrokerProcess.start({
		flags: [
			...["--config", config],
			...["--kafka-security-protocol", "SSL", "--ssl-keystore-location", keystore],
		],
	});
	const client = await connect(broker.url);
	const anHourAgo = Date.now() - HOUR_MS;
	await client.producer().send({ topic: "orders", value: "tea", timestamp: anHourAgo });
	await client.groups.resetOffsets("billing", "earliest", { topic: "orders" });
	await client.close();
	return {
		broker,
		breakIt() {
			replaceFile(keystore, "no certificate");
			replaceFile(config, "log.retention.hours: soon\n");
			broker.signal("SIGHUP");
		},
	};
}

async function freePort(): Promise<number> {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	server.close();
	await once(server, "close");
	return port;
}

/** Starts Prometheus with the alert rules; resolves to a way to ask it. */
async function startPrometheus(binary: string, brokers: Record<string, BrokerProcess>) {
	const directory = temporaryDirectory();
	const every = `${SCRAPE_SECONDS}s`;
	const targets = Object.entries(brokers).map(([instance, { port }]) => ({
		targets: [`127.0.0.1:${port}`],
		labels: { instance },
	}));
	const config = {
		global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
		rule_files: [RULES_FILE],
		scrape_configs: [{ job_name: "millrace", static_configs: targets }],
	};
	writeFileSync(join(directory, "prometheus.yaml"), stringify(config));
	const address = `127.0.0.1:${await freePort()}`;
	const child = spawn(
		binary,
		[
			`--config.file=${join(directory, "prometheus.yaml")}`,
			`--storage.tsdb.path=${join(directory, "data")}`,
			`--web.listen-address=${address}`,
		],
		{ stdio: "ignore" },
	);
	const ended = once(child, "close");
	onTestFinished(async () => {
		child.kill("SIGKILL");
		await ended;
	});
	return async (path: string) => {
		const answer = await fetch(`http://${address}/api/v1/${path}`).catch(() => null);
		// It is not up yet.
		if (answer === null || !answer.ok) return null;
		return ((await answer.json()) as { data: Record<string, unknown[]> }).data;
	};
}

interface Alert {
	readonly labels: Readonly<Record<string, string>>;
	readonly state: string;
}

test("Prometheus tells of the broker that is in trouble", { timeout: 300_000 }, async (context) => {
	const prometheus = prometheusBinary() ?? context.skip(MISSING_PROMETHEUS);
	const promtool = promtoolBinary() ?? context.skip(MISSING_PROMTOOL);
	if (!hasOpenssl()) context.skip(MISSING_OPENSSL);
	const { keystore } = new CertificateAuthority().issue("/CN=broker");
	const { broker: bad, breakIt } = await brokerInTrouble(keystore);
	const good = await BrokerProcess.start();
	const ask = await startPrometheus(prometheus, { bad, good });

	// An increase is one between two scrapes.
	const seen = async () => {
		const query = "count_over_time(millrace_certificate_reload_failures_total[1h]) >= 2";
		const data = await ask(`query?query=${encodeURIComponent(query)}`);
		return data?.result?.length ?? 0;
	};
	await expect.poll(seen, POLL).toBe(2);
	breakIt();
	const alerts = async () => {
		const told = ((await ask("alerts"))?.alerts ?? []) as Alert[];
		return told.map(({ labels, state }) => `${labels.instance} ${labels.alertname} ${state}`);
	};
	// A group may be behind for ten minutes.
	const expected = [
		"bad MillraceCertificateNotTaken firing",
		"bad MillraceConfigurationNotTaken firing",
		"bad MillraceGroupBehind pending",
	];
	await expect.poll(alerts, POLL).toEqual(expect.arrayContaining(expected));
	// A busy machine may be slow in earnest; what is broken is broken at one of the two alone.
	const ofGood = (await alerts()).filter((alert) => /^good .*(NotTaken|Behind)/.test(alert));
	expect(ofGood).toEqual([]);

	// ... and after ten minutes with the lag that it tells of:
	const scraped = seriesOf(await (await fetch(`${bad.http}/metrics`)).text());
	const lag = scraped.value("millrace_group_lag_seconds", { group: "billing", topic: "orders" });
	expect(lag).toBeGreaterThan(HOUR_MS / 1_000 - 1);
	const minutes = Math.floor((lag as number) / 60);
	const told = `${Math.floor(minutes / 60)}h ${minutes % 60}m 0s`;
	const labels = { instance: "bad", group: "billing", topic: "orders" };
	const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
	const file = join(temporaryDirectory(), "lag.yaml");
	const series = `millrace_group_lag_seconds{${pairs.join(",")}}`;
	const rule = (eval_time: string, exp_alerts: unknown[]) => ({
		eval_time,
		alertname: "MillraceGroupBehind",
		exp_alerts,
	});
	const fired = {
		exp_labels: { ...labels, severity: "warning" },
		exp_annotations: { summary: `Group billing is ${told} behind in orders` },
	};
	const lagTest = {
		interval: "1m",
		input_series: [{ series, values: `${minutes * 60}x15` }],
		alert_rule_test: [rule("9m", []), rule("10m", [fired])],
	};
	writeFileSync(file, stringify({ rule_files: [RULES_FILE], tests: [lagTest] }));
	expect(failuresOf(promtool, file)).toBe("");
});
