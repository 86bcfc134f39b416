import { formatAddress } from "../../config/address.ts";
import { openListeners, remoteListeners } from "../../config/load.ts";
import type { BrokerConfig } from "../../config/options.ts";
import { usesTls } from "../../security/options.ts";
import type { Check } from "./check.ts";

/**
 * Who can reach the broker, and what they can do and see. That nobody is asked at an address that
 * others reach has to be allowed by the configuration; else a broker does not start, and neither do
 * the checks.
 */
export function checkExposure(config: BrokerConfig): Check {
	const name = "exposure";
	const at = (listeners: ReturnType<typeof remoteListeners>) =>
		listeners.map(({ name: own, address }) => `${own} ${formatAddress(address)}`).join(", ");
	const remote = remoteListeners(config);
	if (remote.length === 0) {
		return { name, status: "ok", found: "only this machine reaches the listeners" };
	}
	const open = openListeners(config);
	if (open.length > 0) {
		return {
			name,
			status: "warn",
			found: `anybody who reaches ${at(open)} may do everything, or what rules let everybody do`,
			next: "have it ask who clients are: docs/operating.md, Users",
		};
	}
	const readable = remote.filter(({ protocol }) => !usesTls(protocol));
	if (readable.length > 0) {
		return {
			name,
			status: "warn",
			found: `passwords and records can be read on the way to ${at(readable)}`,
			next: "use SASL_SSL, unless something in front of it speaks TLS: docs/operating.md, TLS",
		};
	}
	return { name, status: "ok", found: `${at(remote)}: encrypted, and clients are asked` };
}
