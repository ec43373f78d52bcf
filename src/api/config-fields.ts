// Fields that the configuration of `countersign serve` is made of.
import { Type } from 'typebox';

export const Port = (description: string) => Type.Integer({ minimum: 1, maximum: 65_535, description });

export const Origin = (scheme: string, description: string) =>
  Type.String({
    pattern: `^${scheme}://[^/?#@\\s]{1,255}$`,
    maxLength: 263,
    accepts: 'an origin such as https://acme.corp.example, without a path and without a slash at its end',
    description,
  });

export const Namespace = (description: string) =>
  Type.String({
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
    maxLength: 63,
    accepts: 'the name of a namespace',
    description,
  });
