create role app login;
alter system set jit = off;
