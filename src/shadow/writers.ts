/** A writer: an application (or file system) with data on a volume, told to bring it into order and keep still. */
export interface Writer {
	/** For messages: what it is and where, as in `ext4 on /srv/data`. */
	readonly name: string;
	/** Writes out what it can beforehand, so that the freeze is short. Errors here do not matter. */
	prepare(): Promise<void>;
	/** From its return to `thaw`, the writer changes nothing on the volume. */
	freeze(): Promise<void>;
	/**
	 * Ends the freeze; is called whatever `freeze` did. Where a freeze is still under way after its deadline, it must be
	 * undone once it comes through.
	 */
	thaw(): Promise<void>;
}
