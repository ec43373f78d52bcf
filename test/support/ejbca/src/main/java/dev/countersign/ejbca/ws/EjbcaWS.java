package dev.countersign.ejbca.ws;

import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebResult;
import jakarta.jws.WebService;
import jakarta.xml.ws.Action;
import java.util.List;

/** The part of the contract of the EJBCA Web Service (8.2) that a client of certificates needs. */
@WebService(name = "EjbcaWS", targetNamespace = EjbcaWS.NS)
public interface EjbcaWS {
  String NS = "http://ws.protocol.core.ejbca.org/";

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "certificateRequest")
  CertificateResponse certificateRequest(
      @WebParam(name = "arg0") UserDataVOWS userData,
      @WebParam(name = "arg1") String requestData,
      @WebParam(name = "arg2") int requestType,
      @WebParam(name = "arg3") String hardTokenSN,
      @WebParam(name = "arg4") String responseType)
      throws Faults.AuthorizationDenied, Faults.NotFound, Faults.UserDoesntFullfill, Faults.Approval, Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "findCerts")
  List<Certificate> findCerts(@WebParam(name = "arg0") String username, @WebParam(name = "arg1") boolean onlyValid)
      throws Faults.AuthorizationDenied, Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "getLastCAChain")
  List<Certificate> getLastCAChain(@WebParam(name = "arg0") String caName)
      throws Faults.AuthorizationDenied, Faults.CADoesntExists, Faults.Ejbca;

  @WebMethod
  @Action(input = NS + "revokeCert")
  void revokeCert(
      @WebParam(name = "arg0") String issuerDN,
      @WebParam(name = "arg1") String serial,
      @WebParam(name = "arg2") int reason)
      throws Faults.AlreadyRevoked, Faults.Approval, Faults.AuthorizationDenied, Faults.CADoesntExists, Faults.Ejbca,
          Faults.NotFound, Faults.WaitingForApproval;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "isAuthorized")
  boolean isAuthorized(@WebParam(name = "arg0") String rule) throws Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "getAvailableCAs")
  List<NameAndId> getAvailableCAs() throws Faults.AuthorizationDenied, Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "getAuthorizedEndEntityProfiles")
  List<NameAndId> getAuthorizedEndEntityProfiles() throws Faults.AuthorizationDenied, Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "getAvailableCertificateProfiles")
  List<NameAndId> getAvailableCertificateProfiles(@WebParam(name = "arg0") int endEntityProfileId)
      throws Faults.AuthorizationDenied, Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "getAvailableCAsInProfile")
  List<NameAndId> getAvailableCAsInProfile(@WebParam(name = "arg0") int endEntityProfileId)
      throws Faults.AuthorizationDenied, Faults.Ejbca;

  @WebMethod
  @WebResult(name = "return")
  @Action(input = NS + "getEjbcaVersion")
  String getEjbcaVersion();
}
