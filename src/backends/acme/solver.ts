// Ways to show a CA that we control a name, each for one type of challenge.

/** One challenge to be met. */
export interface Task {
  /** Identifier of the authorization, without the wildcard label. */
  identifier: { type: 'dns' | 'ip'; value: string };
  token: string;
  keyAuthorization: string;
}

export interface Solver {
  /** Lays the answer out where the CA will look. Safe to repeat. Throws RemoteFault where that is not possible now. */
  present(task: Task, signal: AbortSignal): Promise<void>;
  /** Why the CA would not find the answer yet; undefined once it would. */
  missing(task: Task, signal: AbortSignal): Promise<string | undefined>;
  /** Whether it has what it needs to do so. Throws RemoteFault where not. */
  check(): Promise<void>;
  /** Takes the answer away again. */
  withdraw(task: Task, signal: AbortSignal): Promise<void>;
}

/** By type of challenge. */
export type Solvers = Readonly<Partial<Record<'http-01' | 'dns-01', Solver>>>;
