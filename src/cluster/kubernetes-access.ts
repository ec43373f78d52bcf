// Who we are to the API server, as the transport needs it.

/** For tls.connect. The same object until something in it changes: connections are kept for as long. */
export interface TlsMaterial {
  ca?: string;
  cert?: string;
  key?: string;
  servername?: string;
}

export interface ApiAccess {
  tls: TlsMaterial;
  /** Authorization and impersonation. */
  headers: Readonly<Record<string, string | string[]>>;
}

export interface ApiConfig {
  /** Always https. */
  server: URL;
  /** Of the ServiceAccount or the kubeconfig's context. */
  namespace: string | undefined;
  /** As of now; `fresh` after a refusal: nothing remembered is good enough. Rejects where nothing usable is to be had. */
  access(fresh: boolean): Promise<ApiAccess>;
}

/** Gives the object of before for as long as it says the same. */
export function createMaterial(): (tls: TlsMaterial) => TlsMaterial {
  let last: TlsMaterial | undefined;
  return (tls) => {
    const same =
      last?.ca === tls.ca && last?.cert === tls.cert && last?.key === tls.key && last?.servername === tls.servername;
    if (!last || !same) last = tls;
    return last;
  };
}

export function withoutUndefined(material: { [K in keyof TlsMaterial]: string | undefined }): TlsMaterial {
  return Object.fromEntries(Object.entries(material).filter(([, value]) => value !== undefined));
}
