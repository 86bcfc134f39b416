import type { Authorizer } from "../../src/security/authorizer.ts";

/** What a test lets clients do, and what they were asked for. */
export class Policy implements Authorizer {
	epoch = 0;
	/** "operation type" of everything that was asked. */
	readonly asked = new Set<string>();
	allows: (operation: number, resourceType: number, name: string) => boolean = () => true;

	accessOf() {
		return {
			allows: (operation: number, resourceType: number, name: string) => {
				this.asked.add(`${operation} ${resourceType}`);
				return this.allows(operation, resourceType, name);
			},
			allowsAny: (operation: number, resourceType: number) => {
				this.asked.add(`${operation} ${resourceType}`);
				return this.allows(operation, resourceType, "");
			},
		};
	}
}
